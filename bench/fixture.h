// What several benchmarks need: a cluster of one client and four replicas with fixed keys, and blocks of signed
// envelopes as a busy session makes them (64-byte keys, 256-byte values).
#pragma once

#include <cstdint>

#include "consensus/messages.h"
#include "crypto/identity.h"

namespace loyal::bench {

inline constexpr std::size_t key_bytes = 64;
inline constexpr std::size_t value_bytes = 256;

struct Fixture {
    Fixture();
    consensus::ClusterContext context;
    crypto::Identity leader;
    crypto::Identity client;
    consensus::ClientId client_id;

    // An envelope of `operations` puts with fresh sequence numbers, to `keys` different keys.
    [[nodiscard]] Bytes next_envelope(std::size_t operations, std::size_t keys);
    // The next block of a chain, with `envelopes` of them.
    [[nodiscard]] consensus::BlockPtr next_block(std::size_t envelopes, std::size_t operations,
                                                 std::size_t keys = 100'000);

 private:
    std::uint64_t next_seq_ = 1;
    std::uint64_t next_key_ = 0;
    consensus::BlockRef head_;
    std::uint64_t wall_ms_ = 1'700'000'000'000;
};

}  // namespace loyal::bench
