package cli

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/internal/evidence"
)

func TestAuditIsExported(t *testing.T) {
	f := newFixture(t)
	f.service.records[0].Actor, f.service.records[0].Reason = "=cmd|' /C calc'!A0", "a,\"b\"\nc\x1b[31m"
	exit, stdout, stderr := f.run(t, "audit", "export")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var r evidence.Record
	if exit != exitOK || stderr != "" || len(lines) != 5 || json.Unmarshal([]byte(lines[0]), &r) != nil || r.Number != 5 || r.Who != "=cmd|' /C calc'!A0" {
		t.Errorf("exit %d, %q\n%s", exit, stderr, stdout)
	}
	exit, stdout, _ = f.run(t, "audit", "export", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if exit != exitOK || err != nil || len(rows) != 6 || strings.Contains(stdout, "\x1b") {
		t.Fatalf("exit %d, %v\n%s", exit, err, stdout)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("a spreadsheet computes %q", cell)
			}
		}
	}
	if rows[1][2] != "'=cmd|' /C calc'!A0" || rows[1][8] != `a,"b"\nc\x1b[31m` || rows[1][0] != "5" {
		t.Errorf("%q", rows[1])
	}
}

func TestInert(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "ann": "ann", "-5": "-5", "-5+1": "'-5+1", " =1": "' =1", "@SUM(1)": "'@SUM(1)", "\t=1": `\t=1`, "|x": "'|x", "a=1": "a=1",
	} {
		if got := inert(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
