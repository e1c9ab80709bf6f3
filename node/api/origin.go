package api

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Web pages are the strangers that come from the inside: a browser on the node's host, or
// in its network, sends for whatever page it shows. A page of another origin may read
// nothing, since nothing says that it may; but a plain POST is sent all the same, and a
// name that its owner points at 127.0.0.1 (DNS rebinding) makes a page of the same origin.
// So requests that come from a page must be JSON, which no plain form can be, and of an
// origin that is allowed; and over loopback the host must be named as loopback is.

// guarded lets through what may come from a web page, or does not come from one.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.served(r) {
			problemJSON(w, http.StatusMisdirectedRequest, "this node is not known by the name in Host; add it to api.hosts")
			return
		}
		if _, fromPage := r.Header["Origin"]; fromPage && !s.fromPage(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// served says whether the request names the node by a name it has. Addresses are always
// such names: nobody can point one elsewhere.
func (s *Server) served(r *http.Request) bool {
	host := hostname(r.Host)
	if host == "" || host == "localhost" || isAddress(host) {
		return true
	}
	hosts := s.settings.Hosts.Get()
	if len(hosts) == 0 {
		return !overLoopback(r)
	}
	return strings.HasSuffix(host, ".localhost") || slices.ContainsFunc(hosts, func(p string) bool { return matches(p, host) })
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func isAddress(host string) bool {
	if c := host[len(host)-1]; c > '9' && !strings.Contains(host, ":") {
		return false // the fast way for names
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// overLoopback says whether the request came over the loopback interface.
func overLoopback(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

func matches(pattern, text string) bool {
	ok, err := path.Match(strings.ToLower(strings.TrimSpace(pattern)), text)
	return ok && err == nil
}

// fromPage says whether a request of a web page may go on; if not, or if it only asks
// whether it may, it has been answered.
func (s *Server) fromPage(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	allowed := s.allowed(origin)
	h := w.Header()
	h.Add("Vary", "Origin")
	if allowed {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-Cache, X-Verified, Retry-After")
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		if !allowed {
			problemJSON(w, http.StatusForbidden, "pages of this origin may not ask; add it to api.origins")
			return false
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Content-Type")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true // what it may read is the browser's to decide; a stream checks for itself
	}
	if !allowed && !ownOrigin(origin, r.Host) {
		problemJSON(w, http.StatusForbidden, "pages of this origin may not ask; add it to api.origins")
		return false
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problemJSON(w, http.StatusUnsupportedMediaType, "a request from a web page must be of the type application/json")
		return false
	}
	return true
}

func (s *Server) allowed(origin string) bool {
	origin = strings.ToLower(origin)
	return slices.ContainsFunc(s.settings.Origins.Get(), func(p string) bool { return p == "*" || matches(p, origin) })
}

// ownOrigin says whether a page was served under the name that it asks now.
func ownOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
