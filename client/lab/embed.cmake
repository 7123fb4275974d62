# Writes OUTPUT: a C++ file with every scenario of FOLDER as a raw string, in order of name.
#   cmake -DFOLDER=... -DOUTPUT=... -P embed.cmake
file(GLOB files ${FOLDER}/*.toml)
list(SORT files)
set(body "// Made from lab/scenarios by client/lab/embed.cmake.\n#include \"client/lab/scenario.h\"\n\n")
string(APPEND body "namespace loyal::lab {\n\nconst std::vector<ShippedScenario>& shipped_scenarios() {\n")
string(APPEND body "    static const std::vector<ShippedScenario> all = {\n")
foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text)
    string(APPEND body "        {\"${name}\", R\"scenario(${text})scenario\"},\n")
endforeach()
string(APPEND body "    };\n    return all;\n}\n\n}  // namespace loyal::lab\n")
file(WRITE ${OUTPUT} "${body}")
