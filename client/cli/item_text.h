// How keys and their versions are printed, by get, history and txn alike.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/cli/output.h"
#include "client/client.h"

namespace loyal::cli {

[[nodiscard]] nlohmann::ordered_json item_json(const kvstore::Item& item, bool keys_only);
// As `export` writes it, so that each item is one line whatever its bytes are; without the line's end.
[[nodiscard]] std::string item_line(const kvstore::Item& item, TextForm form, bool keys_only);
[[nodiscard]] std::string item_table(const std::vector<kvstore::Item>& items, TextForm form, bool keys_only);
// The value alone, escaped as in item_line.
[[nodiscard]] std::string value_line(ByteView value, TextForm form);

// {"revision","timestamp","sequence","view","replicas"} of a write that was done.
[[nodiscard]] nlohmann::ordered_json write_json(const client::WriteResult& result);
// "fast", "ordered" or "stale".
[[nodiscard]] const char* name_of(client::ReadPath path);

}  // namespace loyal::cli
