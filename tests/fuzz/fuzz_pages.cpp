// Data files of LMDB whose pages are anything: the walk over them answers and never crashes, whatever they say. The
// seeds are files of one small table with few and with many records.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "kvstore/page_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int file = ::memfd_create("pages", 0);
    if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
        std::abort();
    }
    (void)loyal::kvstore::walk_pages({"/proc/self/fd/" + std::to_string(file), {"t"}, {}});
    return 0;
}
