// Command ansisvg reads a terminal's output from standard input, and draws the last screen as an
// SVG picture. It makes the picture of the demo in the README:
//
//	script -qc 'stty cols 98; redlock demo' /dev/null | go run ./cmd/redlock/internal/ansisvg >docs/demo.svg
package main

import (
	"fmt"
	"html"
	"io"
	"log"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	cellWidth, lineHeight = 8.4, 19.0
	margin                = 16.0
)

// colours are those of the ANSI codes for the foreground; 10 more is the background.
var colours = map[string]string{
	"30": "#1c1e26", "31": "#ff6b6b", "32": "#69db7c", "33": "#ffd43b", "34": "#74c0fc", "35": "#da9cff", "36": "#66d9e8", "90": "#7d8590",
	"42": "#40c057", "43": "#fab005", "45": "#be4bdb",
}

var sequence = regexp.MustCompile(`\x1b\[[?0-9;]*[a-zA-Z]`)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	frames := strings.Split(string(text), "\x1b[H") // each frame is drawn over the last
	last := strings.ReplaceAll(frames[len(frames)-1], "\r", "")
	if _, err := fmt.Print(draw(strings.Split(strings.TrimRight(last, "\n"), "\n"))); err != nil {
		log.Fatal(err)
	}
}

func draw(lines []string) string {
	var body strings.Builder
	columns, rows := 0, 0
	for _, line := range lines {
		width := utf8.RuneCountInString(sequence.ReplaceAllString(line, ""))
		if width == 0 && strings.Contains(line, "\x1b[?25h") {
			continue // the cursor comes back
		}
		columns = max(columns, width)
		drawLine(&body, line, margin+lineHeight*(float64(rows)+0.75))
		rows++
	}
	w, h := 2*margin+cellWidth*float64(columns), 2*margin+lineHeight*float64(rows)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">
<rect width="100%%" height="100%%" rx="8" fill="#16181d"/>
<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="#e6e6e6" xml:space="preserve">
%s</g>
</svg>
`, w, h, w, h, body.String())
}

// drawLine draws the runs of equal style of one line.
func drawLine(b *strings.Builder, line string, y float64) {
	style, x := "", margin
	for line != "" {
		at := sequence.FindStringIndex(line)
		text := line
		if at != nil {
			text = line[:at[0]]
		}
		x = drawRun(b, text, style, x, y)
		if at == nil {
			return
		}
		if code := line[at[0]:at[1]]; strings.HasSuffix(code, "m") {
			style = strings.TrimSuffix(strings.TrimPrefix(code, "\x1b["), "m")
		}
		line = line[at[1]:]
	}
}

// drawRun draws a text in one style, and returns where the next run begins.
func drawRun(b *strings.Builder, text, style string, x, y float64) float64 {
	end := x + cellWidth*float64(utf8.RuneCountInString(text))
	var attributes strings.Builder
	for code := range strings.SplitSeq(style, ";") {
		switch {
		case code == "1":
			attributes.WriteString(` font-weight="bold"`)
		case strings.HasPrefix(code, "4"):
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s"/>`+"\n", x, y-lineHeight*0.75, end-x+0.3, lineHeight, colours[code])
		case colours[code] != "":
			fmt.Fprintf(&attributes, ` fill="%s"`, colours[code])
		}
	}
	if strings.TrimSpace(text) != "" {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" textLength="%.1f"%s>%s</text>`+"\n", x, y, end-x, attributes.String(), html.EscapeString(text))
	}
	return end
}
