package dispatcher

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// Identity is who Pods are on the file system.
type Identity struct {
	UID, GID int64
	Groups   []int64
}

// of is the Identity for a Namespace with such annotations; what they do not say is as in i.
func (i Identity) of(annotations map[string]string) (Identity, error) {
	var err error
	if text, ok := annotations[v1alpha1.AnnotationUID]; ok {
		if i.UID, err = ParseID(text); err != nil {
			return i, fmt.Errorf("annotation %s of the Namespace: %w", v1alpha1.AnnotationUID, err)
		}
	}
	if text, ok := annotations[v1alpha1.AnnotationGID]; ok {
		if i.GID, err = ParseID(text); err != nil {
			return i, fmt.Errorf("annotation %s of the Namespace: %w", v1alpha1.AnnotationGID, err)
		}
	}
	if text, ok := annotations[v1alpha1.AnnotationGroups]; ok {
		if i.Groups, err = ParseGroups(text); err != nil {
			return i, fmt.Errorf("annotation %s of the Namespace: %w", v1alpha1.AnnotationGroups, err)
		}
	}
	return i, nil
}

// maxID is the highest number of a user or a group that Kubernetes takes.
const maxID = 1<<31 - 1

// ParseID reads the number of a user or a group. That of root is none: Pods do not run as root.
func ParseID(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 1 || n > maxID {
		return 0, fmt.Errorf("%q: give a number from 1 to %d", text, maxID)
	}
	return n, nil
}

// ParseGroups reads the numbers of groups, with commas between them, in any order.
func ParseGroups(text string) (groups []int64, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		n, err := ParseID(part)
		if err != nil {
			return nil, err
		}
		groups = append(groups, n)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// JoinGroups is what ParseGroups reads.
func JoinGroups(groups []int64) string {
	var parts []string
	for _, n := range groups {
		parts = append(parts, strconv.FormatInt(n, 10))
	}
	return strings.Join(parts, ",")
}
