// Bit rot: flips bits of records in use in a store's data file on disk, behind the store's back, as a failing medium
// would. The next reading of such a record must notice (every record is sealed, docs/STORAGE.md). Nothing restores it.
#pragma once

#include <cstdint>

#include "config/result.h"
#include "kvstore/store.h"

namespace loyal::replica {

// `store` maps its data file into memory (LmdbStore); `tables` is how many it has. Gives how many bits were flipped: 0
// when there is no record. A fixed function of the seed and the records. Errors: Errc::io.
[[nodiscard]] Result<std::uint64_t> rot_bits(kvstore::Store& store, std::size_t tables, std::uint64_t bits,
                                             std::uint64_t seed);

}  // namespace loyal::replica
