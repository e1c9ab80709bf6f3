package tui

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/probes/panelfile"
	"github.com/bizra/bizra-top/themes"
)

// filesEvery is how often the operator's own files are looked at: an edit is on the
// screen within a second.
const filesEvery = 500 * time.Millisecond

// filesMsg is what the operator's files say, when they have changed.
type filesMsg struct {
	stamp   string // of all of them
	changed bool
	themes  []themes.File
	views   []panelfile.View // of the operator
	broken  error            // why there are none
}

// watchFiles looks at the operator's files after a while. The answer asks again.
func (m *model) watchFiles() tea.Cmd {
	if m.palettes.dir == "" && m.own.file == "" {
		return nil
	}
	dir, file, seen := m.palettes.dir, m.own.file, m.filesSeen
	return tea.Tick(filesEvery, func(time.Time) tea.Msg { return readFiles(dir, file, seen) })
}

// readFiles reads the operator's files if any is another than was seen.
func readFiles(dir, panels, seen string) filesMsg {
	stamp := stampOf(append(themes.Files(dir), panels))
	if stamp == seen {
		return filesMsg{stamp: stamp}
	}
	msg := filesMsg{stamp: stamp, changed: true, themes: themes.Folder(dir)}
	msg.views, msg.broken = readPanels(panels)
	return msg
}

// readPanels reads the operator's panels. A file that is not there has none.
func readPanels(path string) ([]panelfile.View, error) {
	info, err := os.Stat(path)
	if err != nil || path == "" {
		return nil, nil
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may have become one since
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, panelfile.MaxFile+1))
	if err != nil {
		return nil, err
	}
	return panelfile.Parse(path, data)
}

// stampOf changes with each of the files.
func stampOf(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// told is what is wrong with a file, by its name alone: its folder would push the
// reason off the screen.
func told(err error, path string) string {
	return strings.TrimPrefix(cleanError(err), filepath.Dir(path)+string(filepath.Separator))
}

// takeFiles takes in what has changed.
func (m *model) takeFiles(msg filesMsg) tea.Cmd {
	if msg.changed {
		m.filesSeen = msg.stamp
		name := m.palettes.name
		problem := m.palettes.take(msg.themes)
		m.useTheme(name)
		m.takePanels(msg.views, msg.broken)
		if problem != "" {
			m.say(inkBad, "theme not taken: "+problem)
		}
		return tea.Batch(m.watchFiles(), m.fetchOwn())
	}
	m.unchanged = true
	return m.watchFiles()
}
