// Package x11 tells the agent how large an X display is and when that changes,
// and takes pictures of it.
//
// In comes a display's name and, where the display is locked, the authority
// file of its server. Out come geometries: the size of the screen and the
// monitors on it; and pictures. Nothing is drawn or changed on the display, but for
// a notice to its user where one is ordered (ShowNotice).
//
// What always holds: nothing is read from the environment, changes come from
// the server's events and never from asking again and again, and the last of
// any number of changes is reported. What the server sends is checked before
// it is believed, because a user may run a server of their own.
//
// The few requests needed are spoken here rather than through a client library:
// the one at hand takes its cookie from the environment, keeps its table of
// events in process-wide maps without a lock, and outlives its Close.
package x11
