#include "client/cli/bench/history.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace loyal::cli {

namespace {

const char* name_of(HistoryStatus status) {
    switch (status) {
        case HistoryStatus::ok: return "ok";
        case HistoryStatus::fail: return "fail";
        case HistoryStatus::unknown: break;
    }
    return "unknown";
}

}  // namespace

std::string history_line(const HistoryEntry& entry) {
    nlohmann::ordered_json line = {{"client", entry.client}, {"op", entry.op}, {"key", entry.key}};
    if (entry.expect) {
        line["expect"] = *entry.expect;
    }
    if (entry.value) {
        line["value"] = *entry.value;
    }
    if (entry.out) {
        line["out"] = *entry.out;
    }
    if (entry.applied) {
        line["applied"] = *entry.applied;
    }
    line["status"] = name_of(entry.status);
    line["call"] = entry.call_ns;
    line["ret"] = entry.status == HistoryStatus::unknown ? 0 : entry.return_ns;
    return line.dump();
}

Answer<std::unique_ptr<HistoryFile>> HistoryFile::create(const std::string& path) {
    File file(std::fopen(path.c_str(), "wbe"), std::fclose);
    if (file == nullptr) {
        return refuse_input(fmt::format("history file {} cannot be created: {}", path, std::strerror(errno)));
    }
    return std::unique_ptr<HistoryFile>(new HistoryFile(std::move(file), path));
}

void HistoryFile::add(const HistoryEntry& entry) {
    const std::string line = history_line(entry) + "\n";
    const std::lock_guard lock(mutex_);
    (void)std::fwrite(line.data(), 1, line.size(), file_.get());
}

Answer<void> HistoryFile::close() {
    const std::lock_guard lock(mutex_);
    errno = 0;
    if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0) {
        return refuse(Exit::internal, "io",
                      fmt::format("history file {} is incomplete: {}", path_, std::strerror(errno)));
    }
    return {};
}

}  // namespace loyal::cli
