package tui

// column declares one column of a table.
type column struct {
	title string
	w     int // its width, or the least when it grows
	grow  int // share of the columns left over
	right bool
	drop  int // 0 stays; the highest goes first when there is no room
}

// row is the cells of a table row.
type row []line

// leastColumn is the least width to which a column that may grow is narrowed.
const leastColumn = 8

// columnWidths fits columns into w: 0 means the column is left out.
func columnWidths(cols []column, w int) []int {
	out := make([]int, len(cols))
	total := -1
	for i, c := range cols {
		out[i] = c.w
		total += c.w + 1
	}
	for total > w {
		worst := -1
		for i, c := range cols {
			if out[i] > 0 && c.drop > 0 && (worst < 0 || c.drop > cols[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		total -= out[worst] + 1
		out[worst] = 0
	}
	// What is still too much is taken from the widest that may grow.
	for total > w {
		widest := -1
		for i, c := range cols {
			if out[i] > leastColumn && c.grow > 0 && (widest < 0 || out[i] > out[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		out[widest]--
		total--
	}
	grow := 0
	for i, c := range cols {
		if out[i] > 0 {
			grow += c.grow
		}
	}
	left := w - total
	for i, c := range cols {
		if out[i] > 0 && c.grow > 0 && left > 0 {
			share := left * c.grow / grow
			out[i] += share
			left -= share
			grow -= c.grow
		}
	}
	return out
}

// table draws a head and rows in w columns and h rows. cursor is the selected
// row, or -1; it is always in sight.
func table(cols []column, rows []row, cursor, w, h int) []line {
	if h <= 0 || w <= 0 {
		return nil
	}
	widths := columnWidths(cols, w)
	draw := func(cells func(int) line) line {
		var l line
		first := true
		for i, c := range cols {
			if widths[i] == 0 {
				continue
			}
			if !first {
				l = append(l, span{" ", inkText})
			}
			first = false
			cell := cells(i)
			if c.right {
				cell = cell.right(widths[i])
			} else {
				cell = cell.fit(widths[i])
			}
			l = append(l, cell...)
		}
		return l
	}
	out := []line{draw(func(i int) line { return txt(inkMuted, cols[i].title) })}
	room := h - 1
	if len(rows) == 0 && room > 0 {
		return append(out, txt(inkMuted, noData))
	}
	for i := scrollTo(cursor, len(rows), room); i < len(rows) && room > 0; i, room = i+1, room-1 {
		l := draw(func(c int) line {
			if c < len(rows[i]) {
				return rows[i][c]
			}
			return nil
		}).fit(w)
		if i == cursor {
			l = l.choose()
		}
		out = append(out, l)
	}
	return out
}

// scrollTo returns the first row in sight so that cursor is in the middle where
// it can be.
func scrollTo(cursor, n, room int) int {
	if cursor < 0 || n <= room {
		return 0
	}
	return max(0, min(cursor-room/2, n-room))
}
