// The folder for everything that this program makes: clusters, files, temporary files of the commands that it runs. It
// goes with the program. Should the program be killed (a time limit), the replicas whose clusters are below it are
// killed, too: `loyal cluster up` makes them nobody's children, so they would stay for ever.
#pragma once

#include <filesystem>

namespace loyal::system_test {

// Made, and watched over, at the first call. Throws std::runtime_error when it cannot be.
[[nodiscard]] const std::filesystem::path& scratch_folder();

}  // namespace loyal::system_test
