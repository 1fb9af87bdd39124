package object

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// The YAML parsers give positions only in their texts.
var (
	yamlLine = regexp.MustCompile(`line (\d+)(?:, column (\d+))?: *`)
	// These messages of yaml.v3's parser, unlike those of its scanner, count lines
	// from 0.
	fromZero = regexp.MustCompile(`did not find expected (<document|node|'-'|key|',')`)
	// These come of a line that is in the wrong column.
	structure = regexp.MustCompile(`did not find expected|mapping values are not allowed|could not find expected`)
)

// DescribeYAML words an error of a YAML parser about a text: the line in it,
// from 1, what is wrong and how to mend it.
func DescribeYAML(text []byte, err error) (line int, message, advice string) {
	message = strings.TrimSpace(err.Error())
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:"} {
		message = strings.TrimSpace(strings.TrimPrefix(message, prefix))
	}
	line = 1
	if m := yamlLine.FindStringSubmatchIndex(message); m != nil {
		if n, err := strconv.Atoi(message[m[2]:m[3]]); err == nil {
			line = max(n, 1)
		}
		message = strings.TrimSpace(message[:m[0]] + message[m[1]:])
	}
	lines := bytes.Split(text, []byte("\n"))
	if fromZero.MatchString(message) {
		line++
	}
	line = min(line, len(lines))
	twice := strings.Contains(message, "already set")
	if twice || structure.MatchString(message) {
		at, cure, found := misplaced(text, twice)
		switch {
		case found && twice && cure == keepBlock:
			line = at // of the key, not of what it holds
		case found:
			return at, "not YAML: the indentation of this line does not fit the lines around it", cure
		}
	}
	message = "not YAML: " + message
	advice = "check the indentation of this line and of the one before"
	if content := lines[line-1]; bytes.Contains(content[:len(content)-len(bytes.TrimLeft(content, " \t"))], []byte("\t")) {
		advice = "indent with spaces, not with tabs"
	} else if strings.Contains(message, "already set") {
		advice = "keep one of the two"
	}
	return line, message, advice
}

func yamlError(file string, doc document, err error) error {
	line, message, advice := DescribeYAML(doc.text, err)
	return &SyntaxError{File: file, Line: doc.line + line - 1, Message: message, Advice: advice}
}
