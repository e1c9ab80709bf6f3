package tui

import (
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
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
}

// watchFiles looks at the operator's files after a while. The answer asks again.
func (m *model) watchFiles() tea.Cmd {
	if m.palettes.dir == "" {
		return nil
	}
	dir, seen := m.palettes.dir, m.filesSeen
	return tea.Tick(filesEvery, func(time.Time) tea.Msg { return readFiles(dir, seen) })
}

// readFiles reads the operator's files if any is another than was seen.
func readFiles(dir, seen string) filesMsg {
	paths := themes.Files(dir)
	stamp := stampOf(paths)
	if stamp == seen {
		return filesMsg{stamp: stamp}
	}
	return filesMsg{stamp: stamp, changed: true, themes: themes.Folder(dir)}
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

// takeFiles takes in what has changed.
func (m *model) takeFiles(msg filesMsg) tea.Cmd {
	if msg.changed {
		m.filesSeen = msg.stamp
		name := m.palettes.name
		problem := m.palettes.take(msg.themes)
		m.useTheme(name)
		if problem != "" {
			m.say(inkBad, "theme not taken: "+problem)
		}
	}
	return m.watchFiles()
}
