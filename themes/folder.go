package themes

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// maxFolder bounds the theme files that are read from a folder.
const maxFolder = 64

// File is a theme file of the operator: its theme, or what is wrong with it.
type File struct {
	Path  string
	Theme Theme
	Err   error // names the file, the line and the reason
}

// Folder reads the theme files (*.yaml, *.yml) of a folder, by name. A folder that is
// not there has none.
func Folder(dir string) []File {
	var out []File
	for _, path := range Files(dir) {
		f := File{Path: path}
		if data, err := read(path); err != nil {
			f.Err = err
		} else {
			f.Theme, f.Err = Parse(path, data)
		}
		out = append(out, f)
	}
	return out
}

// Files are the paths of a folder's theme files, by name, at most 64.
func Files(dir string) []string {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is not there, which is what most have
	}
	var out []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") && len(out) < maxFolder {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// read reads a file that is not longer than a theme can be. A pipe would keep it
// waiting, so it takes regular files alone.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may have become one since
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
