package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// What a screen costs its terminal and its host, beside the monitors that people have.

const (
	settleFor = 6 * time.Second // before anything is measured
	watchFor  = 12 * time.Second
	presses   = 24
)

// monitor is a program that draws, and a key that changes what it draws.
type monitor struct {
	name string
	args []string
	keys [2]string
	quit string
}

// cost is what a monitor took.
type cost struct {
	first      time.Duration // from start to the first full screen
	bytes, cpu float64       // a second; cpu as a share of a core
	p50, p95   time.Duration // from a key to the first byte that it changes
	rss, pss   float64       // MiB; pss counts what other processes have too by its share
}

func screens() error {
	dir, remove, err := temporary()
	if err != nil {
		return err
	}
	defer remove()
	binary, err := buildNode(dir)
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "control.sock")
	node, err := launchProgram(binary, "demo", "--headless", "--state-dir", filepath.Join(dir, "demo"), "--socket", socket, "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer node.end()
	time.Sleep(settleFor)
	ours := monitor{"bizra-top", []string{binary, "--socket", socket}, [2]string{"2", "1"}, "q"}
	slow := monitor{"bizra-top --slow", append(slices.Clone(ours.args), "--slow"), ours.keys, "q"}
	list := []monitor{ours, slow, {"htop", []string{"htop"}, [2]string{"\x1b[B", "\x1b[A"}, "q"}, {"btop", []string{"btop", "--utf-force"}, [2]string{"1", "1"}, "q"}}
	fmt.Printf("\nA screen on a node of the demo, %s of it, as each program comes: bytes to the terminal, CPU of its process, and\n"+
		"from a key to the first byte of what it changes (%d keys). Memory: RSS, and PSS, which shares pages among those who have them.\n\n", watchFor, presses)
	fmt.Println("terminal  screen            first full  bytes/s  CPU %   key p50   key p95  RSS MiB   PSS MiB")
	for _, size := range []pty.Winsize{{Cols: 120, Rows: 40}, {Cols: 200, Rows: 50}} {
		for _, m := range list {
			if _, err := exec.LookPath(m.args[0]); err != nil {
				fmt.Printf("%3dx%-2d    %-16s  not installed\n", size.Cols, size.Rows, m.name)
				continue
			}
			c, err := m.measure(size)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			fmt.Printf("%3dx%-2d    %-16s  %10s  %7.0f  %5.2f  %8s  %8s  %7.1f  %8.1f\n", size.Cols, size.Rows, m.name, c.first.Round(time.Millisecond),
				c.bytes, 100*c.cpu, c.p50.Round(100*time.Microsecond), c.p95.Round(100*time.Microsecond), c.rss, c.pss)
		}
	}
	return nil
}

// drawing is what came to a terminal, and when.
type drawing struct {
	mu     sync.Mutex
	chunks []chunk
}

type chunk struct {
	at   time.Time
	data []byte
}

func (w *drawing) after(t time.Time) []chunk {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, _ := slices.BinarySearchFunc(w.chunks, t, func(c chunk, t time.Time) int { return c.at.Compare(t) })
	return w.chunks[i:len(w.chunks):len(w.chunks)]
}

// asked are questions to a terminal, and what a usual one answers.
var asked = map[string]string{"\x1b[c": "\x1b[?62;22c", "\x1b[6n": "\x1b[1;1R", "\x1b[?2026$p": "\x1b[?2026;2$y", "\x1b]11;?": "\x1b]11;rgb:1010/1010/1818\x1b\\"}

func (m monitor) measure(size pty.Winsize) (c cost, err error) {
	cmd := exec.Command(m.args[0], m.args[1:]...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor", "LC_ALL=C.UTF-8", "TMUX=", "SSH_TTY=/dev/pts/0")
	began := time.Now()
	var tty *os.File
	if err := begin(cmd, func() (err error) { tty, err = pty.StartWithSize(cmd, &size); return err }); err != nil {
		return c, err
	}
	var got drawing
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		buf := make([]byte, 64<<10)
		for {
			n, err := tty.Read(buf)
			if err != nil {
				return
			}
			got.mu.Lock()
			got.chunks = append(got.chunks, chunk{time.Now(), bytes.Clone(buf[:n])})
			got.mu.Unlock()
			for question, answer := range asked {
				for range bytes.Count(buf[:n], []byte(question)) {
					_, _ = io.WriteString(tty, answer) // a terminal that is gone is seen by Read
				}
			}
		}
	}()
	defer func() {
		_, _ = io.WriteString(tty, m.quit)
		select {
		case <-gone:
		case <-time.After(3 * time.Second):
			err = errors.Join(err, cmd.Process.Kill())
		}
		_ = reap(cmd) // killed or not, it has been measured
		_ = tty.Close()
	}()

	time.Sleep(settleFor)
	from, p := time.Now(), &process{Cmd: cmd}
	before, err := p.cpu()
	if err != nil {
		return c, err
	}
	time.Sleep(watchFor)
	after, err := p.cpu()
	if err != nil {
		return c, err
	}
	span := time.Since(from).Seconds()
	for _, one := range got.after(from) {
		c.bytes += float64(len(one.data)) / span
	}
	c.cpu = (after - before).Seconds() / span
	if c.rss, c.pss, err = memory(cmd.Process.Pid); err != nil {
		return c, err
	}
	var took []time.Duration
	for i := range presses {
		// Not in step with the ticks, whose bytes would be taken for those of the key.
		time.Sleep(time.Duration(310+53*(i%9)) * time.Millisecond)
		pressed := time.Now()
		if _, err := io.WriteString(tty, m.keys[i%2]); err != nil {
			return c, err
		}
		for time.Since(pressed) < time.Second {
			if list := got.after(pressed); len(list) > 0 {
				took = append(took, list[0].at.Sub(pressed))
				break
			}
			time.Sleep(200 * time.Microsecond)
		}
	}
	if len(took) < presses*9/10 {
		return c, fmt.Errorf("only %d of %d keys changed anything", len(took), presses)
	}
	slices.Sort(took)
	c.p50, c.p95 = took[len(took)/2], took[len(took)*95/100]
	c.first = full(got.after(began), size).Sub(began)
	return c, nil
}

// full returns when the screen first had nine tenths of the cells filled that it has
// once it is settled.
func full(chunks []chunk, size pty.Winsize) time.Time {
	screen := vt.NewEmulator(int(size.Cols), int(size.Rows))
	go func() { _, _ = io.Copy(io.Discard, screen) }() // its answers; it is left to the end of the program
	var filled []int
	for _, c := range chunks {
		if c.at.Sub(chunks[0].at) > settleFor {
			break
		}
		_, _ = screen.Write(c.data) // it takes all
		filled = append(filled, len(strings.Join(strings.Fields(screen.String()), "")))
	}
	for i, n := range filled {
		if n > 0 && 10*n >= 9*filled[len(filled)-1] {
			return chunks[i].at
		}
	}
	return chunks[0].at
}

// memory returns the resident memory of a process, and its share of it where pages that
// several processes have (the program itself, when a node runs beside its screen) are
// counted once, in MiB.
func memory(pid int) (rss, pss float64, err error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) float64 {
		_, rest, _ := strings.Cut(string(rollup), "\n"+name+":")
		kib, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64) // 0 where a kernel does not tell
		return kib / 1024
	}
	return field("Rss"), field("Pss"), nil
}
