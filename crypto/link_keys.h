// Inside crypto/ and its tests only: the keys and counters of an established link.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/link.h"

namespace loyal::crypto {

struct LinkCipher::Keys {
    std::array<std::uint8_t, 32> receive{};
    std::array<std::uint8_t, 32> send{};
    std::uint64_t received_frames = 0;  // nonce of the next frame from the peer
    std::uint64_t sent_frames = 0;
    bool broken = false;  // a frame failed: nothing after it can be trusted

    Keys() = default;
    ~Keys();  // wipes
    Keys(const Keys&) = delete;
    Keys& operator=(const Keys&) = delete;
};

// A key must never meet the same nonce twice. Nobody sends this many frames; a counter that got here is broken.
inline constexpr std::uint64_t link_frames_max = std::uint64_t{1} << 62;

}  // namespace loyal::crypto
