package content

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var vocabulary = strings.Fields(`the of and to in is for on that with as by this be at or from are an it which
 not have was can all use one more when has other time will there their what about out would its only
 new some could these two may then first any my now such like our over even most after also made many
 system service account report customer invoice project server network window figure result table
 measure schedule deliver review process contract quarter region department database update release
 version default option module request response session record archive policy storage cluster`)

var identifiers = strings.Fields(`ctx err frame reader buffer offset length session segment chunk index value
 count width height start end next prev result client server request options config path name kind`)

// sentence returns n words of prose.
func sentence(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		w := vocabulary[r.IntN(len(vocabulary))]
		if i == 0 {
			w = strings.ToUpper(w[:1]) + w[1:]
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(w)
		if i < n-1 && r.IntN(9) == 0 {
			b.WriteByte(',')
		}
	}
	b.WriteByte('.')
	return b.String()
}

// A span is a piece of a line in one color.
type span struct {
	text  string
	color color
}

var (
	inkPlain   = rgb(36, 41, 46)
	inkKeyword = rgb(170, 20, 90)
	inkString  = rgb(10, 100, 60)
	inkComment = rgb(120, 128, 136)
	inkNumber  = rgb(20, 80, 190)
)

// codeLine returns a line of a program, colored as an editor does.
func codeLine(r *rand.Rand) []span {
	id := func() string { return identifiers[r.IntN(len(identifiers))] }
	in := strings.Repeat("    ", r.IntN(4))
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []span{{in + "// " + sentence(r, 4+r.IntN(8)), inkComment}}
	case 2:
		return []span{{in + "if ", inkKeyword}, {id() + " != nil && " + id() + "." + id() + " > ", inkPlain}, {fmt.Sprint(r.IntN(4096)), inkNumber}, {" {", inkPlain}}
	case 3:
		return []span{{in + "return ", inkKeyword}, {"fmt.Errorf(", inkPlain}, {`"` + id() + " " + id() + `: %w"`, inkString}, {", " + id() + ")", inkPlain}}
	case 4:
		return []span{{in + "for ", inkKeyword}, {id() + " := ", inkPlain}, {"range ", inkKeyword}, {id() + "." + id() + " {", inkPlain}}
	case 5:
		return []span{{in + "}", inkPlain}}
	default:
		return []span{{in + id() + ", " + id() + " := " + id() + "." + strings.ToUpper(id()[:1]) + id() + "(" + id() + ", " + id() + ", ", inkPlain}, {fmt.Sprint(r.IntN(256)), inkNumber}, {")", inkPlain}}
	}
}

var (
	termText  = rgb(211, 215, 207)
	termDim   = rgb(136, 138, 133)
	termGreen = rgb(138, 226, 52)
	termBlue  = rgb(114, 159, 207)
	termRed   = rgb(239, 41, 41)
	termAmber = rgb(252, 233, 79)
)

// logLine returns a line as build tools and services print it.
func logLine(r *rand.Rand, n int) []span {
	stamp := fmt.Sprintf("2024-05-%02d %02d:%02d:%02d.%03d ", 1+n/86400%28, n/3600%24, n/60%60, n%60, r.IntN(1000))
	switch r.IntN(7) {
	case 0:
		return []span{{stamp, termDim}, {"WARN  ", termAmber}, {sentence(r, 5+r.IntN(9)), termText}}
	case 1:
		return []span{{stamp, termDim}, {"ERROR ", termRed}, {fmt.Sprintf("%s: exit status %d", sentence(r, 4), r.IntN(128)), termText}}
	case 2:
		return []span{{fmt.Sprintf("-rw-r--r-- 1 build build %8d May %2d %02d:%02d ", r.IntN(9999999), 1+r.IntN(28), r.IntN(24), r.IntN(60)), termText}, {identifiers[r.IntN(len(identifiers))] + ".go", termBlue}}
	case 3:
		return []span{{fmt.Sprintf("[%3d%%] ", r.IntN(100)), termGreen}, {fmt.Sprintf("Building object src/%s/%s_%s.o", identifiers[r.IntN(len(identifiers))], identifiers[r.IntN(len(identifiers))], identifiers[r.IntN(len(identifiers))]), termText}}
	default:
		return []span{{stamp, termDim}, {"INFO  ", termGreen}, {fmt.Sprintf("%s id=%016x took=%dms", sentence(r, 3+r.IntN(7)), r.Uint64(), r.IntN(900)), termText}}
	}
}
