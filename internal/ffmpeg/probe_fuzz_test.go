package ffmpeg

import "testing"

// What ffprobe says of a file is refused or makes sense.
func FuzzParseProbe(f *testing.F) {
	for _, seed := range []string{
		`{"streams":[{"codec_name":"h264","codec_type":"video","width":64,"height":48,"pix_fmt":"yuv420p","nb_read_packets":"10","duration":"2.0"}],"format":{"duration":"2.0","size":"100"}}`,
		`{"streams":[{"codec_type":"video","duration":"-1","nb_read_packets":"9223372036854775808"}],"format":{"duration":"1e309"}}`, `{"streams":[{}]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		if m, err := parseProbe(out); err == nil && (m.Duration < 0 || m.Width < 0 || m.Height < 0) {
			t.Errorf("%s makes %+v", out, m)
		}
	})
}
