// malloc_conf.cc: how the binary's allocator (jemalloc) behaves: few arenas for few threads, and memory given back soon after a burst.
//
// Records are made on one thread and freed on another, which costs the C library's allocator a third of all CPU time (docs/performance.md).

extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "narenas:4,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";
}
