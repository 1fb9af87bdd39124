package export

import (
	"bytes"
	"fmt"
	"html/template"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdown renders a page, its headings so many levels lower.
func markdown(source []byte, lower int) (template.HTML, error) {
	md := goldmark.New(
		goldmark.WithExtensions(extension.Table, extension.Strikethrough),
		goldmark.WithParserOptions(parser.WithASTTransformers(util.Prioritized(lowered(lower), 100))),
		goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(asText{}, 100))),
	)
	var out bytes.Buffer
	if err := md.Convert(source, &out); err != nil {
		return "", fmt.Errorf("render a page: %w", err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // goldmark escapes, and asText what it would leave out
}

// lowered sets the headings of a page below those of the document that it is put into.
type lowered int

func (l lowered) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	// The walk's own error is that of the function, which has none.
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if h, ok := n.(*ast.Heading); ok && entering {
			h.Level = min(h.Level+int(l), 6)
		}
		return ast.WalkContinue, nil
	})
}

// asText renders HTML in a page as the text that it is, and a picture, which would have to
// be fetched, as its description.
type asText struct{}

func (asText) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindRawHTML, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			segments := n.(*ast.RawHTML).Segments
			escape(w, source, segments)
		}
		return ast.WalkSkipChildren, nil
	})
	r.Register(ast.KindHTMLBlock, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		block := n.(*ast.HTMLBlock)
		if entering {
			_, _ = w.WriteString("<pre>") // the buffer keeps its error
			escape(w, source, block.Lines())
			return ast.WalkContinue, nil
		}
		if block.HasClosure() {
			_, _ = w.Write(util.EscapeHTML(block.ClosureLine.Value(source)))
		}
		_, _ = w.WriteString("</pre>\n")
		return ast.WalkContinue, nil
	})
	r.Register(ast.KindImage, func(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
		tag := "<em>"
		if !entering {
			tag = "</em>"
		}
		_, _ = w.WriteString(tag)
		return ast.WalkContinue, nil
	})
}

func escape(w util.BufWriter, source []byte, lines *text.Segments) {
	for i := range lines.Len() {
		line := lines.At(i)
		_, _ = w.Write(util.EscapeHTML(line.Value(source)))
	}
}
