package spool

import (
	"errors"
	"io/fs"
)

// Asked is what the workers that were started last, one for each slot, were asked for of their backend, by their ids: a digest
// that only who wrote it can compare. It is empty where nobody has written any.
func (s *Spool) Asked() (map[string]string, error) {
	var asked map[string]string
	err := readJSON(s.askedPath(), &asked)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if asked == nil {
		asked = map[string]string{}
	}
	return asked, nil
}

// SetAsked writes what Asked reads. Only the holder of the spool's lock may.
func (s *Spool) SetAsked(asked map[string]string) error { return writeJSON(s.askedPath(), asked) }
