package main

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestDecompress(t *testing.T) {
	want := bytes.Repeat([]byte("netdojo"), 1<<20)
	var packed, got bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	cut := packed.Len() / 2
	short := bytes.NewReader(bytes.Clone(packed.Bytes()[:cut]))
	if err := decompress(&got, &packed); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes came out, %v; want %d", got.Len(), err, len(want))
	}
	if err := decompress(new(bytes.Buffer), short); err == nil {
		t.Error("half an archive is no error")
	}
}
