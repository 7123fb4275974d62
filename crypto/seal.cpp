#include "crypto/seal.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace loyal::crypto {
namespace {

using Seal = std::array<std::uint8_t, seal_bytes>;

void put_length(crypto_generichash_blake2b_state& state, std::uint64_t length) noexcept {
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(length >> (8U * i));
    }
    crypto_generichash_blake2b_update(&state, bytes.data(), bytes.size());
}

void put(crypto_generichash_blake2b_state& state, ByteView piece) noexcept {
    put_length(state, piece.size());
    if (!piece.empty()) {
        crypto_generichash_blake2b_update(&state, piece.data(), piece.size());
    }
}

Seal seal_of(std::string_view table, ByteView key, ByteView content) noexcept {
    static constexpr std::array<std::uint8_t, crypto_generichash_blake2b_PERSONALBYTES> personal = {'s', 'e', 'a', 'l'};
    crypto_generichash_blake2b_state state;
    crypto_generichash_blake2b_init_salt_personal(&state, nullptr, 0, seal_bytes, nullptr, personal.data());
    put(state, view_of(table));
    put(state, key);
    put(state, content);
    Seal result{};
    crypto_generichash_blake2b_final(&state, result.data(), result.size());
    return result;
}

std::string name_of_record(std::string_view table, ByteView key) {
    constexpr std::size_t shown_bytes_max = 32;
    const bool cut = key.size() > shown_bytes_max;
    return "record " + to_hex(key.first(std::min(key.size(), shown_bytes_max))) + (cut ? "..." : "") + " of table " +
           std::string(table);
}

}  // namespace

Bytes seal(std::string_view table, ByteView key, ByteView content) {
    Bytes sealed;
    sealed.reserve(content.size() + seal_bytes);
    sealed.insert(sealed.end(), content.begin(), content.end());
    seal_in_place(table, key, sealed);
    return sealed;
}

void seal_in_place(std::string_view table, ByteView key, Bytes& content) {
    const Seal mark = seal_of(table, key, content);
    content.insert(content.end(), mark.begin(), mark.end());
}

Result<ByteView> unseal(std::string_view table, ByteView key, ByteView sealed) {
    if (sealed.size() < seal_bytes) {
        return fail(Errc::corrupted, name_of_record(table, key) + " is shorter than its seal");
    }
    const ByteView content = sealed.first(sealed.size() - seal_bytes);
    const Seal expected = seal_of(table, key, content);
    if (!std::equal(expected.begin(), expected.end(), sealed.last(seal_bytes).begin())) {
        return fail(Errc::corrupted, name_of_record(table, key) + " does not match its seal");
    }
    return content;
}

}  // namespace loyal::crypto
