package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every package that decodes what may come from outside has a fuzz target, or stands here with the reason why it needs none.
func TestDecodersAreFuzzed(t *testing.T) {
	without := map[string]string{
		"encoder/transcode":          "reads pixels that the fuzzed decoder of the screen codec has made",
		"agent/timeline":             "compares one file of the kernel with itself",
		"coordinator/reccoordinator": "passes files of operators on to what parses them",
	}
	decodes := regexp.MustCompile(`\b(json\.(Unmarshal|NewDecoder)|yaml\.(Unmarshal|YAMLToJSON)|xml\.NewDecoder|pem\.Decode|x509\.Parse|hex\.Decode|base64\.\w+\.(Strict\(\)\.)?Decode|proto\.Unmarshal|fmt\.Sscan|bufio\.New(Scanner|Reader)\(|binary\.(Big|Little)Endian\.Uint|os\.ReadFile\()`)
	target := regexp.MustCompile(`(?m)^func Fuzz[A-Z]`)
	decoding, fuzzed := map[string]bool{}, map[string]bool{}
	for _, root := range []string{"agent", "cli", "coordinator", "encoder", "internal"} {
		err := filepath.WalkDir("../"+root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			source, err := os.ReadFile(path)
			folder := strings.TrimPrefix(filepath.Dir(path), "../")
			if strings.HasSuffix(path, "_test.go") {
				fuzzed[folder] = fuzzed[folder] || target.Match(source)
			} else {
				decoding[folder] = decoding[folder] || decodes.Match(source)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for folder, does := range decoding {
		switch {
		case !does:
		case fuzzed[folder]:
			count++
		case without[folder] == "":
			t.Errorf("%s decodes and has no fuzz target", folder)
		}
	}
	for folder := range without {
		if !decoding[folder] || fuzzed[folder] {
			t.Errorf("%s needs no reason any more", folder)
		}
	}
	if count < 20 {
		t.Errorf("only %d packages are fuzzed", count)
	}
}
