// Single bits of the data files of a replica that is stopped: anywhere, or in a record of any table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>

namespace loyal::durability {

struct FlipPlace {
    std::filesystem::path file;
    std::uint64_t offset = 0;
    std::uint8_t bit = 0;
    std::string table;  // of the record that it is in; empty: chosen without looking
};

// Each throws std::runtime_error when a file cannot be read or written.
// Log and state alike, up to the last page that any transaction had: behind it are holes and zeros.
[[nodiscard]] FlipPlace anywhere(const std::filesystem::path& data, std::mt19937_64& random);
// In the key or the value of some record of the `turn`-th table that holds any: all tables have their turn.
[[nodiscard]] FlipPlace in_record(const std::filesystem::path& data, std::uint64_t turn, std::mt19937_64& random);
// A second time it is as before.
void flip(const FlipPlace& place);

}  // namespace loyal::durability
