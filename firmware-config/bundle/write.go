package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"

	"aead.dev/minisign"
)

// Write writes a bundle of the files that are in files, by the names that the manifest
// has. Their sizes and digests are put into it. The same content, signed by the same key,
// gives the same bytes.
func Write(w io.Writer, m Manifest, files fs.FS, key minisign.PrivateKey) (Manifest, error) {
	m.Format = format
	for i := range m.Files {
		if err := m.Files[i].measure(files); err != nil {
			return m, err
		}
	}
	if err := m.Check(); err != nil {
		return m, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	text = append(text, '\n')
	about := fmt.Sprintf("busbar %s for %s, epoch %d", m.Version, m.Target, m.Epoch)
	a := tar.NewWriter(w)
	if err := put(a, manifestName, text); err != nil {
		return m, err
	}
	if err := put(a, manifestName+signatureExt, minisign.SignWithComments(key, text, about, "signature of "+manifestName)); err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := f.copy(a, files); err != nil {
			return m, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return m, a.Close()
}

func (f *File) measure(files fs.FS) error {
	in, err := files.Open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	if f.Size, err = io.Copy(h, in); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	h.Sum(f.SHA256[:0])
	return nil
}

func put(a *tar.Writer, name string, content []byte) error {
	if err := a.WriteHeader(header(name, int64(len(content)))); err != nil {
		return err
	}
	_, err := a.Write(content)
	return err
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatUSTAR}
}

func (f File) copy(a *tar.Writer, files fs.FS) error {
	in, err := files.Open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := a.WriteHeader(header(f.Name, f.Size)); err != nil {
		return err
	}
	_, err = io.Copy(a, in)
	return err
}
