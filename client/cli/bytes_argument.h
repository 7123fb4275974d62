// Keys and values on the command line: plain text, --hex or --base64; a value may also come from standard input (`-`)
// or from a file (`@file`), both as raw bytes.
#pragma once

#include <cstddef>
#include <string>

#include "client/cli/failure.h"
#include "client/cli/output.h"
#include "config/bytes.h"

namespace loyal::cli {

[[nodiscard]] Answer<Bytes> decode_text(const std::string& text, TextForm form, std::string_view what);
[[nodiscard]] Answer<Bytes> key_argument(const std::string& text, TextForm form);
// Text alone, within the limit of a value.
[[nodiscard]] Answer<Bytes> value_text(const std::string& text, TextForm form);
// Reads at most value_bytes_max + 1 bytes of a file or of standard input, and refuses what is longer.
[[nodiscard]] Answer<Bytes> value_argument(const std::string& text, TextForm form);

// Standard input, for a command that was told to read it (`-`). Exit 2 when it is the script of a shell, which has been
// taken by then.
[[nodiscard]] Answer<void> check_standard_input();
void take_standard_input();

// The first key after all keys that begin with `prefix`; empty when there is none ("to the end").
[[nodiscard]] Bytes end_of_prefix(ByteView prefix);

}  // namespace loyal::cli
