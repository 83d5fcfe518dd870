package moe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"ufm/internal/safetensors"
)

const (
	configFile = "config.json"
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// shards are the weight files of a checkpoint.
type shards struct {
	listing string // the file that says which tensors there are
	open    []fs.File
	tensors map[string]*safetensors.File // which file holds a tensor
}

// openShards opens the one weight file, or all that the index names, and checks
// their headers.
func openShards(fsys fs.FS) (*shards, error) {
	s := &shards{listing: singleFile, tensors: map[string]*safetensors.File{}}
	err := s.openSingle(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.openIndexed(fsys)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *shards) openSingle(fsys fs.FS) error {
	file, err := s.openShard(fsys, singleFile)
	if err != nil {
		return err
	}
	for _, name := range file.Names() {
		s.tensors[name] = file
	}
	return nil
}

func (s *shards) openIndexed(fsys fs.FS) error {
	text, err := fs.ReadFile(fsys, indexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("neither %s nor %s is there (other formats must be converted "+
			"to safetensors)", singleFile, indexFile)
	}
	if err != nil {
		return err
	}
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	s.listing = indexFile
	opened := map[string]*safetensors.File{}
	for _, tensor := range slices.Sorted(maps.Keys(index.Files)) {
		name := index.Files[tensor]
		if opened[name] == nil {
			file, err := s.openShard(fsys, name)
			if err != nil {
				return fmt.Errorf("%s: shard of tensor %q: %w", indexFile, tensor, err)
			}
			opened[name] = file
		}
		if _, ok := opened[name].Tensor(tensor); !ok {
			return fmt.Errorf("%s: tensor %q is not in its shard %s", indexFile, tensor, name)
		}
		s.tensors[tensor] = opened[name]
	}
	return nil
}

// openShard opens one file and keeps it open: experts are read from it later.
func (s *shards) openShard(fsys fs.FS, name string) (*safetensors.File, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, file)
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	r, ok := file.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file that can be read at any place", name)
	}
	return safetensors.Open(r, info.Size(), name)
}

func (s *shards) close() error {
	var errs []error
	for _, file := range s.open {
		errs = append(errs, file.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}
