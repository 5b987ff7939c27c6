// Package desktop is the desktop that tests and the demonstration record: a
// real X server of its own, with a picture on it that a program can read back
// from a recording.
//
// In comes the wanted screen size; out comes a display name to record, and a
// ledger of what was on that screen and when. A recording is judged by reading
// the same numbers out of its decoded pictures (DecodeMP4, ReadCounter).
//
// What always holds: a server listens on no network address, is stopped by its
// process id, and does not outlive the process that launched it. A ledger entry
// is written only after the X server confirmed that it drew the value.
package desktop
