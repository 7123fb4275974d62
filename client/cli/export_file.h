// The file that an export writes, and goes on with (`export --resume`): what is in it is read and checked first, and a
// record that was cut short at its end is dropped. No network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "client/cli/failure.h"
#include "client/cli/record_format.h"
#include "config/bytes.h"
#include "config/files.h"

namespace loyal::cli {

class ExportFile {
 public:
    // A new file; exit 2 when there is one already.
    [[nodiscard]] static Answer<ExportFile> create(const std::filesystem::path& path);
    // What is there, or a new file. Every line must be a record of `format` with a key above the one before it and
    // beginning with `prefix`: exit 2 for the line that is not, with its number, and nothing is changed.
    [[nodiscard]] static Answer<ExportFile> resume(const std::filesystem::path& path, RecordFormat format,
                                                   ByteView prefix);

    // Of an earlier run.
    [[nodiscard]] std::uint64_t records_before() const { return records_; }
    [[nodiscard]] std::uint64_t bytes_before() const { return bytes_; }
    [[nodiscard]] const std::optional<Bytes>& last_key() const { return last_key_; }

    // Exit 7; what was written before stays.
    [[nodiscard]] Answer<void> append(std::string_view text);
    // On disk, with its name.
    [[nodiscard]] Answer<void> sync();

 private:
    ExportFile(std::filesystem::path path, FileHandle file) : path_(std::move(path)), file_(std::move(file)) {}
    [[nodiscard]] Answer<void> check(RecordFormat format, ByteView prefix);
    [[nodiscard]] tl::unexpected<Failure> failed(int error) const;

    std::filesystem::path path_;
    FileHandle file_;
    std::uint64_t records_ = 0;
    std::uint64_t bytes_ = 0;
    std::optional<Bytes> last_key_;
};

}  // namespace loyal::cli
