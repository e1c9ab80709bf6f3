// Package tui is the screen: what the operator sees and presses.
//
// It is a client of the node's control door and knows nothing else of the node.
// [Run] shows a live screen; [Text] prints one look as plain text.
//
// # Rules of the screen
//
// These hold for every view; tests hold most of them.
//
//   - What is wrong is seen first. Normal things are calm (muted, no fill);
//     only what needs a person is coloured warn or bad.
//   - State is a glyph, a word and a colour, never a colour alone. Everything
//     can be read without colours.
//   - Numbers keep their columns: they are formatted by unit to a bounded width
//     and aligned to the right. No data is "–", never 0.
//   - No boxes inside boxes. Panels are separated by a title and air; only a
//     dialog has a border.
//   - Every rectangle comes from a pure function of the terminal's size.
//   - A panel is a function from data and a size to lines. A line is spans of
//     plain text with an ink; escape codes are written in one place, the pens,
//     so no text can smuggle one in.
//   - Strings of the node are cleaned once, where an answer enters the screen.
//   - Update does no I/O. Calls are commands with deadlines, and never two looks
//     are in flight.
//   - One key map makes the dispatch, the footer, the help and the palette. A key
//     that cannot be used says why.
//   - Nothing changes the node without a confirmation that shows old and new and
//     has Cancel focused. A dialog owns the keyboard: no alert, tick or answer
//     opens, closes or moves it.
//   - The screen is read-only until unlocked, and the unlocking expires.
//   - A column of a chart is a fixed span of wall time, so a chart moves when
//     that span is over and not with every tick: it is steadier to read and
//     costs a fifth of the bytes.
package tui
