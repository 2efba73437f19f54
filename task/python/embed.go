// Package python carries the Python package tigerflow, with which a worker runs task modules on machines that have
// nothing but an interpreter.
package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"time"
)

//go:embed tigerflow/*.py tigerflow/library/*.py
var files embed.FS

// Zip packs the package for PYTHONPATH. The same files give the same bytes, so that hash, the first 16 hexadecimal
// digits of their SHA-256, can name the file that holds them.
func Zip() (data []byte, hash string, err error) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	// WalkDir goes in lexical order.
	err = fs.WalkDir(files, "tigerflow", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		// Stored: Python imports quicker what it need not inflate. The oldest time that a zip can hold is 1980.
		f, err := w.CreateHeader(&zip.FileHeader{
			Name: path, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
		})
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("packing the Python package: %w", err)
	}
	sum := sha256.Sum256(buf.Bytes())
	return buf.Bytes(), hex.EncodeToString(sum[:8]), nil
}
