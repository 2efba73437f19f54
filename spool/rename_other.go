//go:build !linux

package spool

import "errors"

func renameNoReplace(_, _ string) error { return errors.ErrUnsupported }
