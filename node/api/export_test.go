package api

// NotServing puts a server back to before Serve.
func NotServing(s *Server) { s.serving.Store(false) }
