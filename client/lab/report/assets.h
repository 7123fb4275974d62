// The page's template, style and script: the files of this folder, embedded when the program is built (embed.cmake).
#pragma once

#include <string_view>

namespace loyal::lab {

extern const std::string_view report_page;
extern const std::string_view report_style;
extern const std::string_view report_script;

}  // namespace loyal::lab
