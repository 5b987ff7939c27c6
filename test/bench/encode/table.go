package main

import (
	"fmt"
	"os"
	"strings"
)

// targets of ours beside today's command.
const (
	mostBytes, mostCPU, leastSSIM, leastOfBare = 0.9, 0.35, -0.0001, 0.95
)

func render(cfg config, results []result) string {
	var b strings.Builder
	load, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	fmt.Fprintf(&b, "%dx%d at %d frames a second, %s of each scene; ours with preset %s and crf %d (load of the machine at the end: %s).\n\n",
		width, height, rate, cfg.duration, cfg.preset, cfg.crf, load)
	b.WriteString("| scene | way | frames | CPU s | time s | bytes | SSIM (RGB) | SSIM (luma) | media s per CPU s |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		for _, w := range []struct {
			name string
			cost
		}{{"today's command", r.theirs}, {"the whole encoder", r.ours}, {"bare FFmpeg, our settings", r.bare}} {
			rgb, luma := fmt.Sprintf("%.5f", w.rgb), fmt.Sprintf("%.5f", w.luma)
			if w.rgb == 0 {
				rgb, luma = "", ""
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %.1f | %d | %s | %s | %.1f |\n", r.scene, w.name, w.frames, w.cpu.Seconds(), w.time.Seconds(),
				w.bytes, rgb, luma, cfg.duration.Seconds()/w.cpu.Seconds())
		}
	}
	fmt.Fprintf(&b, "\n| scene | bytes / today's (at most %.2f) | CPU / today's (at most %.2f) | SSIM less today's (at least %.4f): RGB, luma | bare FFmpeg's CPU / the encoder's (at least %.2f) | the same in time |\n|---|---|---|---|---|---|\n",
		mostBytes, mostCPU, leastSSIM, leastOfBare)
	for _, r := range results {
		bytes, cpu := float64(r.ours.bytes)/float64(r.theirs.bytes), r.ours.cpu.Seconds()/r.theirs.cpu.Seconds()
		rgb, luma := r.ours.rgb-r.theirs.rgb, r.ours.luma-r.theirs.luma
		near, nearTime := r.bare.cpu.Seconds()/r.ours.cpu.Seconds(), r.bare.time.Seconds()/r.ours.time.Seconds()
		fmt.Fprintf(&b, "| %s | %s | %s | %s, %s | %s | %s |\n", r.scene, verdict("%.3f", bytes, bytes <= mostBytes), verdict("%.3f", cpu, cpu <= mostCPU),
			verdict("%+.5f", rgb, rgb >= leastSSIM), verdict("%+.5f", luma, luma >= leastSSIM), verdict("%.3f", near, near >= leastOfBare),
			verdict("%.3f", nearTime, nearTime >= leastOfBare))
	}
	return b.String()
}

// verdict writes a figure, and says where it was not reached.
func verdict(form string, v float64, reached bool) string {
	s := fmt.Sprintf(form, v)
	if !reached {
		s += " (missed)"
	}
	return s
}

func read(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return string(raw)
}
