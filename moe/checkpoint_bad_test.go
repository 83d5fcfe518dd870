package moe

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"ufm/internal/safetensors"
)

const (
	routerName = "model.layers.1.mlp.gate.weight"
	upName     = "model.layers.1.mlp.experts.2.up_proj.weight"
)

// splitInTwo spreads tensors over two files.
func splitInTwo(tensors map[string]safetensors.Data) (
	index map[string]any, parts map[string]map[string]safetensors.Data) {
	where := map[string]string{}
	parts = map[string]map[string]safetensors.Data{"a.st": {}, "b.st": {}}
	for name, tensor := range tensors {
		file := "a.st"
		if strings.Contains(name, "layers.1.") {
			file = "b.st"
		}
		where[name] = file
		parts[file][name] = tensor
	}
	return map[string]any{"weight_map": where}, parts
}

func TestMissingFiles(t *testing.T) {
	good := fakeCheckpoint(t, families[0], 8, 16, "BF16")
	tensors := fakeTensors(families[0], 8, 16, "BF16")
	index, parts := splitInTwo(tensors)
	wrongIndex, _ := splitInTwo(tensors)
	wrongIndex["weight_map"].(map[string]string)[upName] = "a.st"
	a := &fstest.MapFile{Data: weightFile(t, parts["a.st"])}
	b := &fstest.MapFile{Data: weightFile(t, parts["b.st"])}
	list := &fstest.MapFile{Data: jsonText(t, index)}
	for name, test := range map[string]struct {
		files fs.FS
		want  []string
	}{
		"no folder": {os.DirFS(t.TempDir() + "/none"),
			[]string{configFile, "a checkpoint is a directory with"}},
		"no config": {fstest.MapFS{singleFile: good[singleFile]}, []string{"open config.json"}},
		"no weights": {fstest.MapFS{configFile: good[configFile]},
			[]string{singleFile, indexFile, "is there"}},
		"index no JSON": {fstest.MapFS{configFile: good[configFile],
			indexFile: {Data: []byte("[")}},
			[]string{indexFile}},
		"missing shard": {fstest.MapFS{configFile: good[configFile], indexFile: list, "a.st": a},
			[]string{indexFile, "layers.1", "open b.st"}},
		"shard elsewhere": {fstest.MapFS{configFile: good[configFile], "a.st": a,
			indexFile: {Data: []byte(`{"weight_map":{"w":"../a.st"}}`)}},
			[]string{`shard of tensor "w"`, "../a.st"}},
		"shard is a folder": {fstest.MapFS{configFile: good[configFile], "d/a.st": a,
			indexFile: {Data: []byte(`{"weight_map":{"w":"d"}}`)}}, []string{"d is no file"}},
		"not in its shard": {fstest.MapFS{configFile: good[configFile], "a.st": a, "b.st": b,
			indexFile: {Data: jsonText(t, wrongIndex)}}, []string{upName, "not in its shard a.st"}},
		"tensor in no shard": {fstest.MapFS{configFile: good[configFile], "a.st": a,
			indexFile: {Data: []byte(`{"weight_map":{}}`)}},
			[]string{indexFile, `"model.layers.0.mlp.gate.weight" is missing`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenCheckpoint(test.files, "broken")
			wantErrorWith(t, err, append(test.want, "moe: checkpoint broken: ")...)
		})
	}
}

func TestBadTensors(t *testing.T) {
	for name, test := range map[string]struct {
		tensor string
		dtype  string // "": the tensor is taken out
		shape  []int64
		want   []string
	}{
		"missing expert": {tensor: upName, want: []string{"is missing"}},
		"missing router": {tensor: routerName, want: []string{"is missing"}},
		"shape": {upName, "BF16", []int64{8, 16},
			[]string{"has shape [8 16], config.json asks for [16 8]"}},
		"rank":              {upName, "BF16", []int64{128}, []string{"has shape [128]"}},
		"router shape":      {routerName, "BF16", []int64{24}, []string{"asks for [3 8]"}},
		"dtypes differ":     {upName, "F16", []int64{16, 8}, []string{"f16", "as bf16", "alike"}},
		"dtype unsupported": {upName, "I16", []int64{16, 8}, []string{"I16 (supported: F32, F16,"}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fakeCheckpoint(t, families[0], 8, 16, "BF16")
			tensors := fakeTensors(families[0], 8, 16, "BF16")
			changed := tensors[test.tensor]
			changed.DType, changed.Shape = test.dtype, test.shape
			tensors[test.tensor] = changed
			if test.dtype == "" {
				delete(tensors, test.tensor)
			}
			fsys[singleFile].Data = weightFile(t, tensors)
			_, err := OpenCheckpoint(fsys, "broken")
			wantErrorWith(t, err, append(test.want,
				"moe: checkpoint broken: ", singleFile, test.tensor)...)
		})
	}
}

func TestBadWeightFile(t *testing.T) {
	good := fakeCheckpoint(t, families[0], 8, 16, "BF16")[singleFile].Data
	lie := func(old, new string) []byte {
		changed := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, good) {
			t.Fatalf("%q does not occur in the header", old)
		}
		return changed
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":     {nil, "too short"},
		"truncated": {good[:len(good)-1], "truncated"},
		"in header": {good[:100], "truncated"},
		"2^63 header": {append(binary.LittleEndian.AppendUint64(nil, 1<<63), good[8:]...),
			"claims"},
		"shape lies": {lie(`"shape":[16,8]`, `"shape":[16,9]`), "needs 288 bytes"},
		"overlap":    {lie(`"data_offsets":[256,512]`, `"data_offsets":[255,511]`), "overlaps"},
		"past the end": {lie(`"data_offsets":[4656,4704]`, `"data_offsets":[4657,4705]`),
			"ends at byte 4705"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fakeCheckpoint(t, families[0], 8, 16, "BF16")
			fsys[singleFile].Data = test.file
			_, err := OpenCheckpoint(fsys, "broken")
			wantErrorWith(t, err, "moe: checkpoint broken: ", singleFile, test.want)
		})
	}
}

// TestNotFinite puts single values into each matrix of an expert. The largest finite
// value must pass: it differs from infinity in one bit.
func TestNotFinite(t *testing.T) {
	for _, test := range []struct {
		dtype    string
		bits     uint32
		want     string
		accepted bool
	}{
		{dtype: "F32", bits: 0x7fc00000, want: "NaN"},
		{dtype: "F32", bits: 0xff800000, want: "-Inf"},
		{dtype: "F32", bits: math.Float32bits(-math.MaxFloat32), accepted: true},
		{dtype: "F16", bits: 0x7e00, want: "NaN"},
		{dtype: "F16", bits: 0xfc00, want: "-Inf"},
		{dtype: "F16", bits: 0xfbff, accepted: true},
		{dtype: "BF16", bits: 0xffc0, want: "NaN"},
		{dtype: "BF16", bits: 0x7f80, want: "+Inf"},
		{dtype: "BF16", bits: 0x7f7f, accepted: true},
	} {
		for _, matrix := range []string{"gate_proj", "up_proj", "down_proj"} {
			for _, at := range []int{0, 1, 34} { // both halves of a pair, and the very last
				name := "model.layers.1.mlp.experts.2." + matrix + ".weight"
				for _, err := range readWith(t, name, test.dtype, at, test.bits) {
					if test.accepted && err != nil {
						t.Errorf("%s %#x is finite, got error %v", test.dtype, test.bits, err)
					}
					if !test.accepted {
						wantErrorWith(t, err, "fake", singleFile, name, "holds "+test.want)
					}
				}
			}
		}
	}
}

// readWith puts one value into a tensor of the last expert and reads that expert both
// ways.
func readWith(t *testing.T, tensor, dtype string, at int, bits uint32) []error {
	t.Helper()
	tensors := fakeTensors(families[0], 5, 7, dtype)
	if dtype == "F32" {
		binary.LittleEndian.PutUint32(tensors[tensor].Bytes[4*at:], bits)
	} else {
		binary.LittleEndian.PutUint16(tensors[tensor].Bytes[2*at:], uint16(bits))
	}
	fsys := fakeCheckpoint(t, families[0], 5, 7, dtype)
	fsys[singleFile].Data = weightFile(t, tensors)
	c := openFake(t, fsys)
	_, err := c.Expert(5)
	return []error{err, c.FillExpert(5, make([]byte, c.Shape().ExpertBytes()))}
}

func TestRouterNotFinite(t *testing.T) {
	fsys := fakeCheckpoint(t, families[0], 8, 8, "F32")
	tensors := fakeTensors(families[0], 8, 8, "F32")
	binary.LittleEndian.PutUint32(tensors[routerName].Bytes[4*9:], 0x7f800000)
	fsys[singleFile].Data = weightFile(t, tensors)
	_, err := openFake(t, fsys).Router(1)
	wantErrorWith(t, err, singleFile, routerName, "holds +Inf at [1 1]")
}
