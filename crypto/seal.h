// Sealed records: every record on disk ends with a BLAKE2b-128 over its table, its key and its content, each with its
// length (docs/STORAGE.md). It detects rotten bits and records that turned up under the wrong key or table; it is
// a checksum, not a defence against somebody who can write the disk, so it needs no key and no constant-time
// comparison. Pure and thread-safe.
#pragma once

#include <string_view>

#include "config/bytes.h"
#include "config/result.h"

namespace loyal::crypto {

inline constexpr std::size_t seal_bytes = 16;

// `content` followed by the seal.
[[nodiscard]] Bytes seal(std::string_view table, ByteView key, ByteView content);
// The same in the place of `content`.
void seal_in_place(std::string_view table, ByteView key, Bytes& content);

// The content, as a view into `sealed`. Errc::corrupted names the table and the key.
[[nodiscard]] Result<ByteView> unseal(std::string_view table, ByteView key, ByteView sealed);

}  // namespace loyal::crypto
