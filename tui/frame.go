package tui

// rect is a part of the screen.
type rect struct{ x, y, w, h int }

// inside returns r without m columns on the left and right.
func (r rect) inside(m int) rect { return rect{r.x + m, r.y, r.w - 2*m, r.h} }

// splitTop returns the first h rows of r and the rest.
func (r rect) splitTop(h int) (rect, rect) {
	h = max(0, min(h, r.h))
	return rect{r.x, r.y, r.w, h}, rect{r.x, r.y + h, r.w, r.h - h}
}

// splitLeft returns the first w columns of r and the rest behind a gap.
func (r rect) splitLeft(w, gap int) (rect, rect) {
	w = max(0, min(w, r.w))
	return rect{r.x, r.y, w, r.h}, rect{r.x + w + gap, r.y, max(0, r.w-w-gap), r.h}
}

// frame is a whole screen of lines, each exactly w columns.
type frame struct {
	w, h int
	rows []line
}

func newFrame(w, h int) *frame {
	f := &frame{w: max(w, 0), h: max(h, 0)}
	f.rows = make([]line, f.h)
	blank := txt(inkText, spaces(f.w))
	for i := range f.rows {
		f.rows[i] = blank
	}
	return f
}

// put draws lines into r over what is there. What does not fit is cut.
func (f *frame) put(r rect, lines []line) {
	if r.x < 0 || r.y < 0 || r.x >= f.w {
		return
	}
	w := min(r.w, f.w-r.x)
	if w <= 0 {
		return
	}
	for i := range min(r.h, f.h-r.y) {
		var l line
		if i < len(lines) {
			l = lines[i]
		}
		row := f.rows[r.y+i]
		if w == f.w {
			f.rows[r.y+i] = l.fit(w)
			continue
		}
		f.rows[r.y+i] = cat(row.cut(0, r.x), l.fit(w), row.cut(r.x+w, f.w))
	}
}
