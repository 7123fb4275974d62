// record.json: a Record as a file, complete: reading gives back what was written, whatever bytes keys and values are.
// Strings are JSON strings where they are valid UTF-8, otherwise {"base64": "..."}. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "client/lab/record.h"
#include "config/result.h"

namespace loyal::lab {

[[nodiscard]] std::string record_to_json(const Record& record);
// Errc::invalid_argument names what is missing or malformed.
[[nodiscard]] Result<Record> record_from_json(std::string_view text);

}  // namespace loyal::lab
