// History files (contract, "History files"): one JSON object a line, single-key operations, times in ns of one
// CLOCK_MONOTONIC. Thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "client/cli/failure.h"

namespace loyal::cli {

enum class HistoryStatus : std::uint8_t { ok, fail, unknown };

struct HistoryEntry {
    std::uint64_t client = 0;
    const char* op = "put";  // put, get, cas, del
    std::string key;
    std::optional<std::string> value;   // put, cas
    std::optional<std::string> expect;  // cas
    std::optional<std::string> out;     // get that found something
    std::optional<bool> applied;        // cas and del that were answered
    HistoryStatus status = HistoryStatus::ok;
    std::uint64_t call_ns = 0;
    std::uint64_t return_ns = 0;  // written as 0 when the status is unknown
};
[[nodiscard]] std::string history_line(const HistoryEntry& entry);

class HistoryFile {
 public:
    [[nodiscard]] static Answer<std::unique_ptr<HistoryFile>> create(const std::string& path);
    void add(const HistoryEntry& entry);
    // Errors of any write since the beginning.
    [[nodiscard]] Answer<void> close();

 private:
    using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
    HistoryFile(File file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

    std::mutex mutex_;
    File file_;
    std::string path_;
};

}  // namespace loyal::cli
