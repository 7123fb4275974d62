// Records of `import` and `export`: one key and value a line, as TSV (key TAB value; tab, newline and backslash are
// written \t, \n, \\) or as JSON lines ({"key":..,"value":..}, bytes that are no UTF-8 as {"base64":".."}). Both carry
// arbitrary bytes; what `export` writes, `import` reads back to the same bytes. No threads, no network.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client/cli/failure.h"
#include "config/bytes.h"

namespace loyal::cli {

enum class RecordFormat : std::uint8_t { tsv, jsonl };

struct Record {
    Bytes key;
    Bytes value;
    friend bool operator==(const Record&, const Record&) = default;
};

// Without the newline at the end.
[[nodiscard]] std::string write_record(ByteView key, ByteView value, RecordFormat format);
// `line` without its newline. Checks the limits of keys and values too. Errors say what is wrong, not where.
[[nodiscard]] Answer<Record> read_record(std::string_view line, RecordFormat format);

// From the file's extension (.tsv, .jsonl, .ndjson, .json), else from its first line.
[[nodiscard]] RecordFormat detect_format(std::string_view path, std::string_view first_line);

// The longest line of either format within the limits (a JSON escape takes 6 bytes for one), with room for spaces.
inline constexpr std::size_t line_bytes_max = 8U << 20U;

// Lines of a file or a pipe, each as soon as it has come. A line over line_bytes_max is an error, before it is held in
// memory.
class LineReader {
 public:
    // The descriptor stays the caller's. `offset` and `line`: where it stands, when that is not the beginning.
    explicit LineReader(int descriptor, std::uint64_t offset = 0, std::uint64_t line = 0)
        : descriptor_(descriptor), number_(line), offset_(offset) {}

    // Once `stop` is true, a signal ends the wait for more input, as an error.
    void stop_when(const std::atomic<bool>& stop) { stop_ = &stop; }
    // Empty at the end of the input. What it gives is valid until the next call.
    [[nodiscard]] Answer<std::optional<std::string_view>> next();
    // Of the line that next() gave last, from 1.
    [[nodiscard]] std::uint64_t number() const { return number_; }
    // Of the input, behind that line and its newline.
    [[nodiscard]] std::uint64_t offset() const { return offset_; }
    // False when that line was the last one and lacks its newline.
    [[nodiscard]] bool terminated() const { return terminated_; }

 private:
    // False at the end of the input.
    [[nodiscard]] Answer<bool> fill();

    int descriptor_;
    std::string line_;
    std::string buffer_;
    std::size_t position_ = 0;
    std::uint64_t number_;
    std::uint64_t offset_;
    bool terminated_ = true;
    const std::atomic<bool>* stop_ = nullptr;
};

}  // namespace loyal::cli
