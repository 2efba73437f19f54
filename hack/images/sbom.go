package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// item is a package that an image contains.
type item struct {
	name, version, purl string
}

// goModules are the modules of a Go program, from what the linker wrote into it.
func goModules(program []byte) ([]item, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	items := []item{{"stdlib", goVersion, "pkg:golang/stdlib@" + goVersion}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		items = append(items, item{m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version})
	}
	return items, nil
}

// debianPackages are those whose description lies in var/lib/dpkg/status.d, as images without dpkg have it.
func debianPackages(t *tree) []item {
	var items []item
	for place, e := range t.entries {
		if path.Dir(place) != "var/lib/dpkg/status.d" || e.data == nil {
			continue
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(e.data)) {
			if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[key] = strings.TrimSpace(value)
			}
		}
		name, version := fields["Package"], fields["Version"]
		items = append(items, item{name, version, fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", name, version, fields["Architecture"])})
	}
	return items
}

// The parts of SPDX 2.3 that say what is in an image: https://spdx.github.io/spdx-spec/v2.3.
type (
	spdxDocument struct {
		SPDXVersion   string             `json:"spdxVersion"`
		DataLicense   string             `json:"dataLicense"`
		SPDXID        string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		CreationInfo  spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string          `json:"SPDXID"`
		Name             string          `json:"name"`
		Version          string          `json:"versionInfo,omitempty"`
		DownloadLocation string          `json:"downloadLocation"`
		FilesAnalyzed    bool            `json:"filesAnalyzed"`
		Checksums        []spdxChecksum  `json:"checksums,omitempty"`
		ExternalRefs     []spdxReference `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

// writeSBOM writes what an image of all platforms contains, as SPDX 2.3. What a base image contains is in its own list.
func writeSBOM(file, ref string, digest v1.Hash, contents []item) error {
	const document, image, unknown = "SPDXRef-DOCUMENT", "SPDXRef-image", "NOASSERTION"
	d := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: document, Name: ref,
		Namespace:    "https://tigerflow.dev/spdx/" + ref + "/" + digest.Hex,
		CreationInfo: spdxCreation{epoch.Format("2006-01-02T15:04:05Z"), []string{"Tool: tigerflow-images"}},
		Packages: []spdxPackage{{
			SPDXID: image, Name: ref, DownloadLocation: unknown,
			Checksums: []spdxChecksum{{"SHA256", digest.Hex}},
		}},
		Relationships: []spdxRelationship{{document, "DESCRIBES", image}},
	}
	slices.SortFunc(contents, func(a, b item) int { return cmp.Compare(a.purl, b.purl) })
	for i, c := range slices.Compact(contents) {
		id := fmt.Sprintf("SPDXRef-package-%d", i)
		d.Packages = append(d.Packages, spdxPackage{
			SPDXID: id, Name: c.name, Version: c.version, DownloadLocation: unknown,
			ExternalRefs: []spdxReference{{"PACKAGE-MANAGER", "purl", c.purl}},
		})
		d.Relationships = append(d.Relationships, spdxRelationship{image, "CONTAINS", id})
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
