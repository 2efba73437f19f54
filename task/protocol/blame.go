package protocol

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// SlotSize is the length of one slot of the blame file: a mark, spaces, a newline.
const SlotSize = 128

// MaxMark is the length of the longest mark.
const MaxMark = SlotSize - 1

// WriteMark says that user code begins on the file that mark stands for. It is one write at the slot's place and never
// synced: the page cache outlives a killed process, which is all that blame needs.
func WriteMark(w io.WriterAt, slot int, mark string) error {
	if err := checkMark(mark); err != nil {
		return err
	}
	line := blankSlot
	copy(line[:MaxMark], mark)
	return writeSlot(w, slot, &line)
}

// ClearMark says that user code is done with the file of the slot.
func ClearMark(w io.WriterAt, slot int) error {
	line := blankSlot
	return writeSlot(w, slot, &line)
}

// ReadMarks gives the marks that stand in the content of a blame file, by slot. A slot cut short has no mark.
func ReadMarks(content []byte) map[int]string {
	marks := map[int]string{}
	for slot := 0; (slot+1)*SlotSize <= len(content); slot++ {
		line := content[slot*SlotSize:][:MaxMark]
		// A file that grew by a later slot has NULs where nothing was written yet.
		if mark := bytes.TrimRight(line, " \x00"); len(mark) > 0 {
			marks[slot] = string(mark)
		}
	}
	return marks
}

var blankSlot = func() (line [SlotSize]byte) {
	copy(line[:], strings.Repeat(" ", MaxMark)+"\n")
	return line
}()

func writeSlot(w io.WriterAt, slot int, line *[SlotSize]byte) error {
	if _, err := w.WriteAt(line[:], int64(slot)*SlotSize); err != nil {
		return fmt.Errorf("writing blame slot %d: %w", slot, err)
	}
	return nil
}

func checkMark(mark string) error {
	if len(mark) > MaxMark || strings.ContainsAny(mark, "\n\x00") {
		return fmt.Errorf("mark %.40q: at most %d bytes without newline or NUL", mark, MaxMark)
	}
	return nil
}
