package program

import "runtime"

// threadsPerCore is how many threads run for each core in a program whose threads wait for the disk.
const threadsPerCore = 2

// RoomForSyncs has Go run more threads at a time than there are cores, for a program with a broker in it: each chunk is synced to
// disk, and a thread that waits for that keeps its place among those that run until the runtime notices. The broker also has as many
// workers for what it is asked about streams as threads may run. It is called once, before the broker is started, and changes nothing
// where the environment says how many.
func RoomForSyncs(getenv func(string) string) {
	if getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threadsPerCore * runtime.GOMAXPROCS(0))
	}
}
