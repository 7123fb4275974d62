// Looking at an LMDB environment that may be damaged. LMDB trusts its pages: a bad page pointer is a SIGSEGV, a SIGBUS
// or an assertion, not an error. So what is not known to be sound is walked in a child process, which may die of it.
//
// Fork from a process that has no other threads yet, and before it opens the environment itself: the child opens it
// read-only and without LMDB's lock file, so the caller holds the data folder's lock. There is no time-out, because a
// large store takes long on a slow disk; progress is reported.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/result.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// ---- A child that may die
using Say = std::function<void(std::string_view line)>;  // one line to the parent
struct ChildEnd {
    bool finished = false;  // `work` returned
    std::string how;        // otherwise: what it died of
};
// Runs `work` in a child process; `heard` gets each line that it says, in the caller. Errc::io: no child could be made.
[[nodiscard]] Result<ChildEnd> run_in_child(const std::function<void(const Say&)>& work,
                                            const std::function<void(std::string_view)>& heard);

// ---- Structure
struct StoreCheck {
    std::filesystem::path folder;                         // of the environment
    std::vector<std::string> tables;                      // that are to be there, if anything is
    std::function<void(std::uint64_t records)> progress;  // may be empty; called in the caller, now and then
};
// What is wrong with the pages (kvstore/page_walk.h), or the death of the child that looked. Nothing: sound, or never
// written. Records' seals are not looked at. Errc::not_found, io, permission: it cannot be read at all.
[[nodiscard]] Result<std::optional<std::string>> check_store(const StoreCheck& check);
// The same in this process, where no second one is wanted.
[[nodiscard]] Result<std::optional<std::string>> check_store_here(const StoreCheck& check);

// An environment that is read and never changed; a table that is missing is empty. Every write fails
// (Errc::permission).
[[nodiscard]] Result<std::unique_ptr<Store>> open_read_only(const std::filesystem::path& folder,
                                                            const std::vector<std::string>& tables);

}  // namespace loyal::kvstore
