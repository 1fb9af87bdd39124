package markdown

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/styles"
)

func TestBlocks(t *testing.T) {
	source := "# Title\n\ntext\n\n```bash\nkubectl get pods\n\nls\n```\n\n````yaml\n```\na: b\n````\n\n~~~\nplain\n~~~\n\n```sh\nnever closed\n"
	p := Render(source, 40, styles.New(true, false))
	want := []Block{{Lang: "bash", Code: "kubectl get pods\n\nls\n"}, {Lang: "yaml", Code: "```\na: b\n"}, {Code: "plain\n"}, {Lang: "sh", Code: "never closed\n"}}
	if len(p.Blocks) != len(want) {
		t.Fatalf("%d blocks, want %d: %+v", len(p.Blocks), len(want), p.Blocks)
	}
	for i, b := range p.Blocks {
		if b.Lang != want[i].Lang || b.Code != want[i].Code {
			t.Errorf("block %d is %q %q, want %q %q", i, b.Lang, b.Code, want[i].Lang, want[i].Code)
		}
		first := ansi.Strip(p.Lines[b.First])
		if line, _, _ := strings.Cut(b.Code, "\n"); !strings.Contains(first, line) {
			t.Errorf("block %d begins at %q, want %q", i, first, line)
		}
	}
	if !p.Blocks[0].Shell() || p.Blocks[1].Shell() || !p.Blocks[3].Shell() {
		t.Error("bash and sh hold commands, yaml does not")
	}
}

// TestLinesFit: whatever a page holds, its lines are as wide as asked.
func TestLinesFit(t *testing.T) {
	for name, source := range map[string]string{
		"empty":         "",
		"wide":          "日本語のとても長い行です。これは幅が広いので折り返されます。" + strings.Repeat("幅", 200),
		"combining":     "e\u0301a\u0308 " + strings.Repeat("x\u0301", 100),
		"no spaces":     strings.Repeat("x", 500),
		"escapes":       "a \x1b[31mred\x1b[0m line\n\n```\n\x1b]0;title\x07\x1b[2Jcode\n```",
		"broken":        "[a](b \n| a | b\n|--\n**not closed `x\n> - 1. ",
		"table":         "| a | b |\n| --- | --- |\n| " + strings.Repeat("cell ", 40) + " | x |\n",
		"huge":          "```\n" + strings.Repeat("a line\n", 10_000) + "```\n",
		"tabs":          "```\n\tindented\n```\n\n\ta block by indent\n",
		"not UTF-8":     "a \xff\xfe b\n\n```\n\xff\n```",
		"CRLF":          "a\r\n\r\n```bash\r\nls\r\n```\r\n",
		"block of zero": "```\n```\n",
	} {
		for _, plain := range []bool{false, true} {
			for _, width := range []int{1, 20, 77} {
				p := Render(source, width, styles.New(false, plain))
				for i, line := range p.Lines {
					if w := ansi.StringWidth(line); w != max(width, 10) {
						t.Fatalf("%s in %d: line %d is %d wide: %q", name, width, i, w, line)
					}
					if strings.Contains(line, "\x1b]") || strings.Contains(line, "\x1b[2J") {
						t.Errorf("%s: an escape sequence came through: %q", name, line)
					}
					for _, r := range ansi.Strip(line) {
						if plain && r >= 0x80 {
							t.Fatalf("%s in ASCII: line %d holds %q", name, i, r)
						}
					}
				}
				if len(p.Lines) > 3000 {
					t.Errorf("%s: %d lines", name, len(p.Lines))
				}
			}
		}
	}
}

// TestProse: items of a list are set as paragraphs with their indent, and no mark
// of Markdown's is left.
func TestProse(t *testing.T) {
	source := "# One\n\n## Two\n\nIt has `code`, and three parts:\n\n- `a` picks the pods it is about. From\n  the moment on,\n  all is dropped.\n- second\n  - inner\n1. first\n2. last one\n\nAfter.\n"
	for _, plain := range []bool{false, true} {
		var got []string
		for _, line := range Render(source, 30, styles.New(true, plain)).Lines {
			got = append(got, strings.TrimRight(ansi.Strip(line), " "))
		}
		want := "One\n\nTwo\n\nIt has code, and three parts:\n\n• a picks the pods it is\n  about. From the moment on,\n  all is dropped.\n• second\n  • inner\n1. first\n2. last one\n\nAfter."
		if plain {
			want = strings.ReplaceAll(want, "•", "*")
		}
		if text := strings.Join(got, "\n"); strings.ReplaceAll(text, "`", "") != want {
			t.Errorf("in ASCII %v:\n%s\nwant\n%s", plain, text, want)
		}
	}
}
