// Whether the pages of an LMDB 0.9 data file are what LMDB takes them for. LMDB trusts its pages: a wrong page pointer
// is a SIGSEGV, a wrong page number or length inside a header lets a later commit free, and so overwrite, a page that
// is in use. Reading through LMDB meets only a part of what it leans on when it writes; so this walk reads the file
// itself and looks at all of it: meta pages, headers, node offsets and sizes, the order of keys and their place between
// the keys of the pages above, runs of overflow pages, the counts of each table, the lists of free pages, and that no
// page belongs to two of these. What is in a record is not looked at: its seal says that.
//
// Source of the format: LMDB 0.9, mdb.c ("MDB_page", "MDB_node", "MDB_db", "MDB_meta"), on a little-endian machine with
// 64-bit words. The file is read and never mapped, and nothing in it is trusted before it is checked; nobody may write
// it meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/result.h"

namespace loyal::kvstore {

struct PageWalk {
    std::filesystem::path file;                           // data.mdb
    std::vector<std::string> tables;                      // that are to be there, if anything is; no others
    std::function<void(std::uint64_t records)> progress;  // may be empty; called now and then
};
// The first thing that is wrong; none: sound, or never written. Errc::not_found, permission, io: it cannot be read.
[[nodiscard]] Result<std::optional<std::string>> walk_pages(const PageWalk& walk);

}  // namespace loyal::kvstore
