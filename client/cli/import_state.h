// How far an import has come, in a small file beside it, so that it can go on where it ended (`import --resume`): the
// cluster, the input by size, time and the digest of what was read of it, and the byte and line up to which every
// record is stored. A file that was only continued, or corrected behind that point, is the same input; one that differs
// before it is not. The state is behind what is stored, never ahead of it: what is sent twice is the same value for the
// same key. No threads, no network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "client/cli/failure.h"
#include "client/cli/record_format.h"
#include "crypto/digest.h"

namespace loyal::cli {

struct ImportState {
    std::string cluster_id;  // hex
    std::string input;       // its path as it was given; only told
    std::uint64_t size = 0;  // bytes of the input when the state was written; only told
    std::int64_t modified_ns = 0;
    RecordFormat format = RecordFormat::tsv;
    std::uint64_t offset = 0;  // all before it is stored
    std::uint64_t line = 0;    // so many lines
    crypto::Digest prefix;     // of the bytes before `offset`
    friend bool operator==(const ImportState&, const ImportState&) = default;
};

// JSON, one line.
[[nodiscard]] std::string encode(const ImportState& state);
// Exit 2 when it is anything else.
[[nodiscard]] Answer<ImportState> decode_import_state(std::string_view text, const std::string& path);

// Nothing when there is no such file. Exit 2 for one that is no state.
[[nodiscard]] Answer<std::optional<ImportState>> read_import_state(const std::filesystem::path& path);
// All or nothing, also across a power cut; takes the place of what was there.
[[nodiscard]] Answer<void> write_import_state(const std::filesystem::path& path, const ImportState& state);

// The digest of a file's beginning, which only grows.
class InputDigest {
 public:
    // The descriptor stays the caller's; its position is not touched.
    explicit InputDigest(int descriptor);
    // Takes in what is before `offset`. Exit 2 when the file ends before it or cannot be read.
    [[nodiscard]] Answer<void> advance_to(std::uint64_t offset);
    [[nodiscard]] crypto::Digest digest() const;

 private:
    int descriptor_;
    crypto::Hasher hasher_;
    std::uint64_t offset_ = 0;
};

}  // namespace loyal::cli
