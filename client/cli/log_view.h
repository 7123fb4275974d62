// The end of a log file, and what is written to it from then on.
#pragma once

#include <cstddef>
#include <filesystem>

#include "client/cli/failure.h"

namespace loyal::cli {

// With `follow` it ends when standard output does (or by a signal); a file that was cut or replaced is begun anew.
[[nodiscard]] Answer<Exit> show_log(const std::filesystem::path& path, std::size_t lines, bool follow);

}  // namespace loyal::cli
