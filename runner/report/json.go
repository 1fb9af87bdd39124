package report

import (
	"encoding/json"
	"io"

	"github.com/netdojo/netdojo/runner/record"
)

// JSON writes the record, indented, with a final newline.
func JSON(w io.Writer, run record.Run) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(run)
}
