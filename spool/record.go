package spool

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is one line: eight hex digits with the length of the payload in bytes, a space, eight hex digits with its
// CRC32C, a space, the payload (JSON without a line break), a line break. Length and sum together tell a torn or
// NUL-filled tail, which network file systems do show to readers, from a record.
const (
	recordHeader = 18
	maxRecord    = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrIncomplete means that the bytes end before the record does: it may come yet.
	ErrIncomplete = errors.New("the record is not complete")
	// ErrCorrupt means that the bytes are no record. A reader takes it as "not yet": a later page can become visible
	// before an earlier one.
	ErrCorrupt = errors.New("the record is damaged")
)

// AppendRecord appends the record of v to dst.
func AppendRecord(dst []byte, v any) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("encoding a record: %w", err)
	}
	if len(payload) > maxRecord {
		return dst, fmt.Errorf("a record of %d bytes is over the limit of %d", len(payload), maxRecord)
	}
	dst = appendHex(dst, uint32(len(payload)))
	dst = append(dst, ' ')
	dst = appendHex(dst, crc32.Checksum(payload, castagnoli))
	dst = append(dst, ' ')
	dst = append(dst, payload...)
	return append(dst, '\n'), nil
}

// NextRecord splits the first record off b: its payload, and its length with header and line break.
func NextRecord(b []byte) (payload []byte, n int, err error) {
	if len(b) < recordHeader {
		return nil, 0, ErrIncomplete
	}
	length, ok1 := parseHex(b[:8])
	sum, ok2 := parseHex(b[9:17])
	if !ok1 || !ok2 || b[8] != ' ' || b[17] != ' ' || length > maxRecord {
		return nil, 0, ErrCorrupt
	}
	n = recordHeader + int(length) + 1
	if len(b) < n {
		return nil, 0, ErrIncomplete
	}
	payload = b[recordHeader : n-1]
	if b[n-1] != '\n' || crc32.Checksum(payload, castagnoli) != sum {
		return nil, 0, ErrCorrupt
	}
	return payload, n, nil
}

func appendHex(dst []byte, v uint32) []byte {
	return hex.AppendEncode(dst, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// parseHex takes lower case only, so that every record has one spelling.
func parseHex(b []byte) (v uint32, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
